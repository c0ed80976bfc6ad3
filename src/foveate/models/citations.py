"""BibTeX entries of the papers behind the registered models."""

from __future__ import annotations

_ENTRIES = """
@inproceedings{long2015fcn,
  author = {Long, Jonathan and Shelhamer, Evan and Darrell, Trevor},
  title = {Fully Convolutional Networks for Semantic Segmentation},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2015}
}
@inproceedings{noh2015deconvnet,
  author = {Noh, Hyeonwoo and Hong, Seunghoon and Han, Bohyung},
  title = {Learning Deconvolution Network for Semantic Segmentation},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  year = {2015}
}
@inproceedings{ciresan2012membranes,
  author = {Cire{\\c{s}}an, Dan and Giusti, Alessandro and Gambardella, Luca M. and Schmidhuber, J{\\"u}rgen},
  title = {Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy Images},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2012}
}
@article{farabet2013hierarchical,
  author = {Farabet, Cl{\\'e}ment and Couprie, Camille and Najman, Laurent and LeCun, Yann},
  title = {Learning Hierarchical Features for Scene Labeling},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year = {2013}
}
@inproceedings{pinheiro2014recurrent,
  author = {Pinheiro, Pedro and Collobert, Ronan},
  title = {Recurrent Convolutional Neural Networks for Scene Labeling},
  booktitle = {International Conference on Machine Learning (ICML)},
  year = {2014}
}
@article{szegedy2016inception,
  author = {Szegedy, Christian and Ioffe, Sergey and Vanhoucke, Vincent and Alemi, Alexander},
  title = {Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning},
  journal = {arXiv preprint arXiv:1602.07261},
  year = {2016}
}
@inproceedings{hariharan2014sds,
  author = {Hariharan, Bharath and Arbel{\\'a}ez, Pablo and Girshick, Ross and Malik, Jitendra},
  title = {Simultaneous Detection and Segmentation},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year = {2014}
}
@inproceedings{hariharan2015hypercolumns,
  author = {Hariharan, Bharath and Arbel{\\'a}ez, Pablo and Girshick, Ross and Malik, Jitendra},
  title = {Hypercolumns for Object Segmentation and Fine-grained Localization},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2015}
}
@article{dai2015mnc,
  author = {Dai, Jifeng and He, Kaiming and Sun, Jian},
  title = {Instance-aware Semantic Segmentation via Multi-task Network Cascades},
  journal = {arXiv preprint arXiv:1512.04412},
  year = {2015}
}
@inproceedings{yao2015describing,
  author = {Yao, Li and Torabi, Atousa and Cho, Kyunghyun and Ballas, Nicolas and Pal, Christopher and Larochelle, Hugo
    and Courville, Aaron},
  title = {Describing Videos by Exploiting Temporal Structure},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  year = {2015}
}
@inproceedings{vinyals2015showandtell,
  author = {Vinyals, Oriol and Toshev, Alexander and Bengio, Samy and Erhan, Dumitru},
  title = {Show and Tell: A Neural Image Caption Generator},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2015}
}
@inproceedings{xu2015showattendtell,
  author = {Xu, Kelvin and Ba, Jimmy and Kiros, Ryan and Cho, Kyunghyun and Courville, Aaron and Salakhutdinov, Ruslan
    and Zemel, Richard and Bengio, Yoshua},
  title = {Show, Attend and Tell: Neural Image Caption Generation with Visual Attention},
  booktitle = {International Conference on Machine Learning (ICML)},
  year = {2015}
}
@inproceedings{jaderberg2015spatial,
  author = {Jaderberg, Max and Simonyan, Karen and Zisserman, Andrew and Kavukcuoglu, Koray},
  title = {Spatial Transformer Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2015}
}
@inproceedings{gregor2015draw,
  author = {Gregor, Karol and Danihelka, Ivo and Graves, Alex and Rezende, Danilo and Wierstra, Daan},
  title = {{DRAW}: A Recurrent Neural Network For Image Generation},
  booktitle = {International Conference on Machine Learning (ICML)},
  year = {2015}
}
@article{graves2013generating,
  author = {Graves, Alex},
  title = {Generating Sequences With Recurrent Neural Networks},
  journal = {arXiv preprint arXiv:1308.0850},
  year = {2013}
}
@article{chan2015las,
  author = {Chan, William and Jaitly, Navdeep and Le, Quoc V. and Vinyals, Oriol},
  title = {Listen, Attend and Spell},
  journal = {arXiv preprint arXiv:1508.01211},
  year = {2015}
}
@inproceedings{bahdanau2015align,
  author = {Bahdanau, Dzmitry and Cho, Kyunghyun and Bengio, Yoshua},
  title = {Neural Machine Translation by Jointly Learning to Align and Translate},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2015}
}
@article{xu2015ask,
  author = {Xu, Huijuan and Saenko, Kate},
  title = {Ask, Attend and Answer: Exploring Question-Guided Spatial Attention for Visual Question Answering},
  journal = {arXiv preprint arXiv:1511.05234},
  year = {2015}
}
"""
_BY_KEY = {entry.partition("{")[2].partition(",")[0]: f"@{entry.strip()}" for entry in _ENTRIES.split("\n@")[1:]}
# Model -> the key of its paper's entry.
PAPERS = {
    "ask_attend_answer": "xu2015ask",
    "colocalise": "jaderberg2015spatial",
    "deconvnet": "noh2015deconvnet",
    "draw": "gregor2015draw",
    "draw_reader": "gregor2015draw",
    "fcn16s": "long2015fcn",
    "fcn32s": "long2015fcn",
    "fcn4s": "long2015fcn",
    "fcn8s": "long2015fcn",
    "handwriting": "graves2013generating",
    "hypercolumns": "hariharan2015hypercolumns",
    "inception_resnet_v2": "szegedy2016inception",
    "inception_v4": "szegedy2016inception",
    "listen_attend_spell": "chan2015las",
    "mnc": "dai2015mnc",
    "multiscale_cnn": "farabet2013hierarchical",
    "patch_cnn": "ciresan2012membranes",
    "recurrent_cnn": "pinheiro2014recurrent",
    "rnnsearch": "bahdanau2015align",
    "sds": "hariharan2014sds",
    "show_and_tell": "vinyals2015showandtell",
    "show_attend_tell": "xu2015showattendtell",
    "spatial_transformer": "jaderberg2015spatial",
    "video_attention": "yao2015describing",
}


def bibtex(model: str) -> str:
    """The BibTeX entry of a model's paper; '' for a model of another package."""
    return _BY_KEY.get(PAPERS.get(model, ""), "")
